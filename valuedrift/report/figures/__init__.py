"""The paper's figures: for the page as inline SVG, for papers as PNG, SVG and PDF (``write.write_figures``)."""
