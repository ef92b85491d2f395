//! Segments → events: framing, pairing of responses with requests, losses.
