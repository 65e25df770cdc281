"""The certificate of a site, from an authority that speaks ACME (RFC 8555)."""
