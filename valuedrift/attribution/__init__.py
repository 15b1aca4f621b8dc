"""Which rows of a training's data moved a stance: first-order influence, from the tables and the weights alone."""
