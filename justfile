# What CI runs: formatting, lints, every test, the end-to-end ones included.
check:
    tests/run

# The shipped custom resource definitions, after a change in src/model.
crds:
    MODOSU_WRITE=1 cargo test --test crds

# Licences, sources and advisories of every dependency.
deny:
    cargo deny check
