"""The kinds of stages, a file each; `registry` makes the list of a study's stages of them."""
