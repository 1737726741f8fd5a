"""The command line: configuration, objects and jobs. The only room that imports hydra."""
