"""Where the tables lie: locations, schemas, atomic writes, manifests, the catalog and its SQL views."""
