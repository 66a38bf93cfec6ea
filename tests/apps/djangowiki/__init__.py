"""django-wiki as it is, in a project of the few lines that its manual asks for, with a channel in front."""
