"""How a device is, what is wrong with it, and when somebody is told: what people and monitoring go by. Pure."""
