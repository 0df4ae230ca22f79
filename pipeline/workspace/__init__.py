"""The workspace: its folders, its metadata store, and the files of its artifacts."""
