"""Live memcacheds → the parts of their requests' time, and whose doing each is."""
