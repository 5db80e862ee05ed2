"""Avro bodies to dataclasses and back, by functions written for each schema when it is first used."""
