"""Configuration of airspeed velocity."""
