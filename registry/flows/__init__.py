"""START READING HERE: one file per operation that touches more than one collaborator."""
