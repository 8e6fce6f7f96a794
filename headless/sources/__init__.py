"""What the user names with --image: photographs, clips and folders of them, here and elsewhere."""
