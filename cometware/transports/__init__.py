"""How frames travel. A transport knows nothing of their meaning; one pump feeds all of them."""
