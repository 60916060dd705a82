"""Kafka for the services: ``Runner`` drives one processor per stream, exactly once; nothing else imports a client."""
