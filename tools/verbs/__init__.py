"""The verbs of the command line, one module each; `tools.cli.VERBS` lists those that work."""
