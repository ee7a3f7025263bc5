"""What a paper on an experiment needs: tables as LaTeX, Markdown and CSV, a paragraph on the methods, and BibTeX."""
