"""What Triton needs to serve the pose networks: the generator and the python backend's ``model.py``."""
