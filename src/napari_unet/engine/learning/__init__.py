"""What `napari_unet.engine.training` is made of: data, steps, recipes, validation, fitting."""
