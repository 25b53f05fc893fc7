"""The compute process behind `napari_unet.engine.host`: its start, its channel, what it runs."""
