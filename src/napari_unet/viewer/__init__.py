"""Between napari's layers and the engine's values; jobs that run beside the viewer."""
