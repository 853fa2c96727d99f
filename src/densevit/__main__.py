"""`python -m densevit`."""

from densevit.cli import main

main()
