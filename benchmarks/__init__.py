"""Is Carrel as fast as it promises? One module for each area, each with `run()`."""
