"""Files of images and labels: opened, not read, whatever their size; written piece by piece."""
