"""The technologies of the artifact store: `local` in a folder, `s3` in a bucket, `memory` for tests."""
