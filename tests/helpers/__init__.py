"""What several tests share: tiny models, replicas, references, servers."""
