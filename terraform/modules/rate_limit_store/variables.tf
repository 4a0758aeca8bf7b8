variable "project_id" {
  description = "Project of the store."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project_id))
    error_message = "project_id must be a project ID: 6 to 30 lower-case letters, digits and hyphens."
  }
}

variable "region" {
  description = "Region of the store."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]+$", var.region))
    error_message = "region must be a region such as europe-west1, not a zone."
  }
}

variable "labels" {
  description = "Labels of all resources that support labels. They appear on the bill."
  type        = map(string)
  nullable    = false
  default     = {}
}

variable "name" {
  description = "Name of the store, and prefix of the names of its parts."
  type        = string
  nullable    = false
  default     = "image-rate-limits"

  validation {
    condition     = can(regex("^[a-z]([a-z0-9-]{0,38}[a-z0-9])?$", var.name))
    error_message = "name must have at most 40 lower-case letters, digits and hyphens."
  }
}

variable "node_type" {
  description = "Size of the single node. Shared cores are the smallest, without a service level agreement; while the store is down, each instance counts by itself."
  type        = string
  nullable    = false
  default     = "SHARED_CORE_NANO"

  validation {
    condition     = contains(["SHARED_CORE_NANO", "STANDARD_SMALL", "HIGHMEM_MEDIUM"], var.node_type)
    error_message = "node_type must be SHARED_CORE_NANO, STANDARD_SMALL or HIGHMEM_MEDIUM."
  }
}

variable "network" {
  description = "Network, subnet and its range for the store's address."
  type = object({
    network_id = string
    subnet_id  = string
    cidr_range = string
  })
  nullable = false
}

variable "denied_tags" {
  description = "Network tags of instances that may not reach the store."
  type        = list(string)
  nullable    = false

  validation {
    condition     = length(var.denied_tags) > 0
    error_message = "denied_tags must contain at least one tag: a rule without tags would apply to everything, including the API."
  }
}
