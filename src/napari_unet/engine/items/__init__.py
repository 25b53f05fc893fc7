"""What `napari_unet.engine.batch` is made of: images as items, their units of work and records."""
