variable "project_id" {
  description = "Project of the load balancer."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project_id))
    error_message = "project_id must be a project ID: 6 to 30 lower-case letters, digits and hyphens."
  }
}

variable "region" {
  description = "Region of the service behind the load balancer."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]+$", var.region))
    error_message = "region must be a region such as europe-west1, not a zone."
  }
}

variable "name" {
  description = "Prefix of the names of all resources."
  type        = string
  nullable    = false
  default     = "image-manager"

  validation {
    condition     = can(regex("^[a-z]([a-z0-9-]{0,38}[a-z0-9])?$", var.name))
    error_message = "name must have at most 40 lower-case letters, digits and hyphens."
  }
}

variable "service_name" {
  description = "The Cloud Run service behind the load balancer."
  type        = string
  nullable    = false
}

variable "domains" {
  description = "Domains of the API. Links use the first one. Certificates are issued as soon as the records that prove ownership exist."
  type        = list(string)
  nullable    = false

  validation {
    condition     = length(var.domains) > 0 && length(var.domains) <= 100 && alltrue([for domain in var.domains : can(regex("^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\\.)+[a-z]{2,}$", domain))])
    error_message = "domains must contain 1 to 100 domains such as images.example.com, without wildcards."
  }
}

variable "candidate_tag" {
  description = "Tag of the revision that a rollout tests. Its host name is the tag followed by the first domain."
  type        = string
  nullable    = false
  default     = "candidate"

  validation {
    condition     = can(regex("^[a-z]([a-z0-9-]{0,44}[a-z0-9])?$", var.candidate_tag))
    error_message = "candidate_tag must be a valid Cloud Run tag: at most 46 lower-case letters, digits and hyphens."
  }
}

variable "throttle" {
  description = "Requests that one address may send in a minute before it gets 429; those for share links are counted separately, with the same limit."
  type = object({
    requests_per_minute = optional(number, 1200)
  })
  nullable = false
  default  = {}

  validation {
    condition     = var.throttle.requests_per_minute >= 60 && var.throttle.requests_per_minute <= 1000000
    error_message = "throttle.requests_per_minute must be between 60 and 1000000."
  }
}

variable "cached_paths" {
  description = "Paths whose responses are public and immutable, so that caches may store them. Nothing else is cached."
  type        = list(string)
  nullable    = false
  default     = []

  validation {
    condition     = alltrue([for path in var.cached_paths : startswith(path, "/") && path != "/*" && !startswith(path, "/api/") && !startswith(path, "/s/")])
    error_message = "Each of cached_paths must be a path outside /api/ and /s/, and not match all paths: responses of the API are private to the caller, and pages of share links to whoever has the link."
  }
}

variable "delivery" {
  description = "Delivery of pictures behind the same load balancer: its Cloud Run service, its domain, whether Cloud CDN stores its responses, and requests that one address may send in a minute before it gets 429 (those that the CDN answers do not count). Null: none."
  type = object({
    service_name        = string
    domain              = string
    cdn                 = optional(bool, false)
    requests_per_minute = optional(number, 6000)
  })
  default = null

  validation {
    condition     = var.delivery == null ? true : can(regex("^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\\.)+[a-z]{2,}$", var.delivery.domain))
    error_message = "delivery.domain must be a domain such as pictures.example.com, without wildcards."
  }

  validation {
    condition     = var.delivery == null ? true : length(setintersection([var.delivery.domain, "${var.candidate_tag}.${var.delivery.domain}"], concat(var.domains, ["${var.candidate_tag}.${var.domains[0]}"]))) == 0
    error_message = "delivery.domain must not be a domain of the API: its host decides whether a request is logged, cached and scanned."
  }

  validation {
    condition     = var.delivery == null ? true : var.delivery.requests_per_minute >= 60 && var.delivery.requests_per_minute <= 1000000
    error_message = "delivery.requests_per_minute must be between 60 and 1000000."
  }
}
