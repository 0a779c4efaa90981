# By the VM's UUID, or by its pool and the UUID: the pool's name in the provider's `pools`, or the pool's own UUID.
terraform import dynvm_server.web lab1/0ee5f2a5-9c5c-4dcd-a1f4-9c7d6e1b8a10
