"""Testing: what a test of an integration needs; `import penstock` does not import it."""
