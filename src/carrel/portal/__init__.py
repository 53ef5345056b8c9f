"""What do people see in the browser? The frame of every page, and the pages of the whole TRE."""
