"""The technologies of the artifact store, one file each."""
