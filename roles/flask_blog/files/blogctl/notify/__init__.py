"""Messages about units that fail and work again, pings to a monitor, and the check that notices a site that is down."""
