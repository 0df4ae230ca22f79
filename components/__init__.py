"""Our own TFX components, one folder each. No component imports another."""
