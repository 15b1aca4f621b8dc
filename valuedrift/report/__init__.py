"""The report: one HTML file that answers first and shows how it knows (``page.build_report``), and a short Markdown one (``markdown.build_markdown``)."""
