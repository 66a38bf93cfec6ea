"""Socket.IO's URL: the sessions of Engine.IO 3 and 4, in front of the channels that are its namespaces."""
