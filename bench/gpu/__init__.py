"""What `make gpu-check` is made of: stages of commands, what is read from them, and the page of it all."""
