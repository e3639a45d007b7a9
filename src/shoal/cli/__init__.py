"""What `manage.py shoal` does. Takes options and a screen, gives a report on it."""
