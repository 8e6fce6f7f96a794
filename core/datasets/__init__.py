"""Results as datasets on the disk, as training tools and annotators have them.

Imports: results, pictures and what is below; nothing of the host, of engines or of providers.
"""
