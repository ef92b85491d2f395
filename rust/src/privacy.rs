//! Keys → keyed key ids: SipHash-2-4 under 128 random bits that never leave memory.
