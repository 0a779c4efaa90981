# By the VM's UUID, or by the name of its pool in the provider's `pools` and the UUID.
terraform import dynvm_server.web lab1/0ee5f2a5-9c5c-4dcd-a1f4-9c7d6e1b8a10
