"""What runs keep on disk: the workspace, its metadata store, and the files of its artifacts."""
