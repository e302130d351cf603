"""python -m narrowboat.cli"""

from . import main

main()
