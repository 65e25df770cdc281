"""The host: systemd, locks, the journal, programs that run as the app, the app's health."""
