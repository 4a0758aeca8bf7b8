variable "project_id" {
  description = "Project of the service."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project_id))
    error_message = "project_id must be a project ID: 6 to 30 lower-case letters, digits and hyphens."
  }
}

variable "region" {
  description = "Region of the service."
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
  description = "Name of the service and of its account."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.name))
    error_message = "name must have 6 to 30 lower-case letters, digits and hyphens, the limits of a service account's name."
  }
}

variable "purpose" {
  description = "What the service does, in one sentence. It becomes the description of service and account."
  type        = string
  nullable    = false
}

variable "container" {
  description = "The container: its first image (by digest; deploys change it afterwards), command, environment, CPU and memory. `cpu_always_allocated` costs more and is only needed for work outside requests."
  type = object({
    image                = string
    command              = list(string)
    environment          = map(string)
    cpu                  = optional(string, "1")
    memory               = optional(string, "512Mi")
    cpu_always_allocated = optional(bool, false)
    port                 = optional(number, 8080)
  })
  nullable = false

  validation {
    condition     = can(regex("@sha256:[0-9a-f]{64}$", var.container.image))
    error_message = "container.image must be given by digest, because a tag can be moved."
  }

  validation {
    condition     = alltrue([for name in keys(var.container.environment) : can(regex("^[A-Z][A-Z0-9_]*$", name)) && name != "PORT"])
    error_message = "container.environment must have upper-case names, and cannot contain PORT, which Cloud Run sets."
  }

  validation {
    condition     = contains(["1", "2", "4", "8"], var.container.cpu)
    error_message = "container.cpu must be 1, 2, 4 or 8. Less than one does not allow concurrency."
  }

  validation {
    condition     = can(regex("^[0-9]+(Mi|Gi)$", var.container.memory))
    error_message = "container.memory must be a number with the unit Mi or Gi."
  }
}

variable "scaling" {
  description = "Number of instances, concurrent requests of one instance, and the time limit of a request."
  type = object({
    min_instances           = optional(number, 0)
    max_instances           = number
    concurrency             = number
    request_timeout_seconds = number
  })
  nullable = false

  validation {
    condition     = var.scaling.max_instances >= 1 && var.scaling.max_instances <= 1000 && var.scaling.min_instances >= 0 && var.scaling.min_instances <= var.scaling.max_instances
    error_message = "scaling.max_instances must be between 1 and 1000, and scaling.min_instances between 0 and scaling.max_instances."
  }

  validation {
    condition     = var.scaling.concurrency >= 1 && var.scaling.concurrency <= 1000
    error_message = "scaling.concurrency must be between 1 and 1000."
  }

  validation {
    condition     = var.scaling.request_timeout_seconds >= 1 && var.scaling.request_timeout_seconds <= 3600
    error_message = "scaling.request_timeout_seconds must be between 1 and 3600."
  }
}

variable "access" {
  description = "Ingress, whether callers need no identity (the service then authenticates them itself), and audiences that tokens may name besides the service's URL."
  type = object({
    ingress          = string
    public           = optional(bool, false)
    custom_audiences = optional(list(string), [])
  })
  nullable = false

  validation {
    condition     = contains(["INGRESS_TRAFFIC_ALL", "INGRESS_TRAFFIC_INTERNAL_ONLY", "INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER"], var.access.ingress)
    error_message = "access.ingress must be INGRESS_TRAFFIC_ALL, INGRESS_TRAFFIC_INTERNAL_ONLY or INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER."
  }

  validation {
    condition     = alltrue([for audience in var.access.custom_audiences : can(regex("^https://[a-z0-9.-]+$", audience))])
    error_message = "Each of access.custom_audiences must be a full URL without a path."
  }
}

variable "network" {
  description = "Network and subnet for reaching private addresses, and network tags for firewall rules."
  type = object({
    network_id = string
    subnet_id  = string
    tags       = optional(list(string), [])
  })
  nullable = false
}

variable "deletion_protection" {
  description = "Whether the service is protected against deletion by a plan."
  type        = bool
  nullable    = false
  default     = true
}
