"""What everything else rests on: errors, manifests, class tables, atomic writes, processes."""
