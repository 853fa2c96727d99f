"""The base of all other packages: errors, manifests, class tables, atomic writes, processes."""
