variable "project_id" {
  description = "Project of the network."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project_id))
    error_message = "project_id must be a project ID: 6 to 30 lower-case letters, digits and hyphens."
  }
}

variable "region" {
  description = "Region of the subnet."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]+$", var.region))
    error_message = "region must be a region such as europe-west1, not a zone."
  }
}

variable "name" {
  description = "Name of the network, and prefix of the names of its parts."
  type        = string
  nullable    = false
  default     = "image-manager"

  validation {
    condition     = can(regex("^[a-z]([a-z0-9-]{0,38}[a-z0-9])?$", var.name))
    error_message = "name must have at most 40 lower-case letters, digits and hyphens."
  }
}

variable "subnet" {
  description = "Subnet for Cloud Run (about two addresses for each instance), and the share of its flows that is logged."
  type = object({
    cidr_range         = optional(string, "10.10.0.0/24")
    flow_sampling_rate = optional(number, 0.1)
  })
  nullable = false
  default  = {}

  validation {
    condition     = can(cidrnetmask(var.subnet.cidr_range))
    error_message = "subnet.cidr_range must be an IPv4 range such as 10.10.0.0/24."
  }

  validation {
    condition     = try(tonumber(split("/", var.subnet.cidr_range)[1]) <= 26, false)
    error_message = "subnet.cidr_range must be a /26 or larger: Cloud Run refuses smaller subnets."
  }

  validation {
    condition     = var.subnet.flow_sampling_rate > 0 && var.subnet.flow_sampling_rate <= 1
    error_message = "subnet.flow_sampling_rate must be above 0 and at most 1."
  }
}

variable "services_prefix_length" {
  description = "Prefix length of the range reserved for Google's managed services such as Cloud SQL."
  type        = number
  nullable    = false
  default     = 20

  validation {
    condition     = var.services_prefix_length >= 16 && var.services_prefix_length <= 24
    error_message = "services_prefix_length must be between 16 and 24."
  }
}
