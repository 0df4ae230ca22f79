"""Progress of long work, and the observer that receives it."""
