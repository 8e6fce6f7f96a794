"""Results as data sets on the disk: writing what training tools and annotators read, and reading it.

Imports: results, pictures and what is below; nothing of the host, of engines or of providers.
"""
