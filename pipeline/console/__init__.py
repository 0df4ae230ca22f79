"""What a person sees: options, the live table, messages, the verdict, charts."""
