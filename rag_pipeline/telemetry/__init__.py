"""What is under way, told to a collector of OpenTelemetry and in logs for machines, where that is switched on."""
